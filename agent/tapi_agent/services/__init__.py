"""What the agent does, in verbs: services orchestrate ports and domain; they know no library and no adapter."""
