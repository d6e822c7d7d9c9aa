"""The engine: finds the session a call belongs to, and has it recorded, answered from a cassette, or let through."""
