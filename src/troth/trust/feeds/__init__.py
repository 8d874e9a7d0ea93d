"""Who may say something: feeds, their grants and caps, their secrets, and whether they still speak."""
