"""Acting: the only code that changes a server. Each move: what it needs, its plan, doing, proving, the way back."""
