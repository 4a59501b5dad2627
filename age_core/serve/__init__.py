"""What the explorer asks: open models, the thread that computes, the queue of runs."""
