"""`payflux backtest`: history through the scorer, beside the truth and beside other rules."""

from payflux.commands.backtest.command import backtest as backtest
