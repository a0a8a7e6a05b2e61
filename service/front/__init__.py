"""What stands before the app: the server process, the short way to the chat routes, hearing that a client hung up."""
