"""What a person writes: experiments, tables and worlds, read and checked without heavy imports."""
