"""Policies: from YAML to rules whose conditions are programs, and the versions in force in this process."""
