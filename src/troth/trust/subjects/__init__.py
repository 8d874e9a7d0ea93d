"""Who there is and what is known of them: subjects, their names, facts with source and age, the directory file."""
