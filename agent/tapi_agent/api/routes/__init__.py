"""One module for each room of the API; a route reads the request, calls one service verb and renders the value."""
