"""Settings become plain values, and ports get what is behind them."""
