"""The command line: ``troth NOUN VERB``, thin over what the rooms offer.

``main.py`` lists the commands and turns errors into exit codes; each noun has a module that is imported only when its
command runs, so that ``troth version`` does not wait for a database driver. Results go to standard output,
everything else to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 denied.
"""
