"""What a schedule triggers: the table says which verb and how often, the scheduler fires it, clock steps or not."""
