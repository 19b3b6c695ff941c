"""What every test has."""

from drawn import draw_the_same

draw_the_same()
