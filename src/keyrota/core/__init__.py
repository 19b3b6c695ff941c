"""What decides: pure functions over plain values. Standard library only, no clock, no I/O."""
