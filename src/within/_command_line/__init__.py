"""What the ``within`` command is made of: its words, its terminal."""
