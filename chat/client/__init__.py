"""A chat client for the terminal: `python -m chat.client [url]`."""
