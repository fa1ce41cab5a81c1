"""Datadog's API: access, calls side by side, budgets that leave a share for people, a cache for storms."""
