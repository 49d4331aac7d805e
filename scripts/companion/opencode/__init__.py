"""Everything that knows opencode: its program, its versions, its HTTP API. The rest of the house sees `adapter`."""
