"""The field, its pyramid of heads, and how rays become pixels."""
