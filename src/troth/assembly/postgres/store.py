"""The one bit of SQL that a new cluster needs before anyone can connect to it."""

#: For ``postgres --single -j``, where a blank line ends a statement. Troth's own role is no superuser: it cannot read
#: files, run programs or load libraries, whatever a hole elsewhere would let someone send. The cluster's superuser
#: ``postgres`` has no way in at all (``pg_hba.conf``), but for an operator in single-user mode.
FIRST_STATEMENTS = """\
CREATE ROLE troth LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;

CREATE DATABASE troth OWNER troth;

REVOKE ALL ON DATABASE troth FROM PUBLIC;

GRANT pg_monitor TO troth;

"""

ROLE = "troth"
DATABASE = "troth"
