"""What the commands of `tipcap` that people use do: score files, overviews, costs, the doctor."""
