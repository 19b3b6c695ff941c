"""The embedded cloud: strict AWS, CI stand-ins and the time machine, on loopback over real HTTP."""
