-- A conversation is found by its id; with the id first, the primary key serves that, and one index less is written for
-- each attempt to join. Ids are of their time, so that new ones go to the end of it.
ALTER TABLE radius_conversation DROP CONSTRAINT radius_conversation_pkey;
ALTER TABLE radius_conversation ADD PRIMARY KEY (id, at);
DROP INDEX radius_conversation_id;
