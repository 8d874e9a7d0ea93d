-- A device that comes by its address alone is looked for among those whose address a feed or a person has told.
CREATE INDEX subject_alias_mac ON subject_alias (translate(lower(value), ':-. ', '')) WHERE system = 'mac';
