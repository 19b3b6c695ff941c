"""AWS as it refuses: moto, and in front of it what moto lets through and AWS does not."""
