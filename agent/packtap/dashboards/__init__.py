"""Grafana's dashboards, alert rules and provisioning as texts, from the rows; no file, no clock."""

from packtap.dashboards.files import files

__all__ = ["files"]
