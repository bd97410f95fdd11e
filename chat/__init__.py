"""The chat: every replica the same conversation, and rooms for testers."""
