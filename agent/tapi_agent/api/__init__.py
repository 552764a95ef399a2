"""The local API: what a request triggers. Routes turn HTTP into one service verb each and values into JSON."""
