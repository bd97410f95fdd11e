"""The publisher: forwards the messages in order to their endpoints."""
