"""The scooter battery bus as values, floor 0: sans-IO, construct and the standard library only."""
