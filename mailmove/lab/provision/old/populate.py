import sys; print("empty")
