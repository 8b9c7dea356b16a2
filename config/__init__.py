"""What can be set, and how it is logged: values only. Nothing of ours is imported here."""
