"""What the explorer withstands: kills, bad input, long use and models that come and go, as figures."""
