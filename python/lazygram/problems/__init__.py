"""The other objectives of the texts, on NumPy and SciPy alone: one module per problem."""
