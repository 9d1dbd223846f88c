"""The pack's own socket types, and what every schema shares."""

from comfy_api.latest import io

HeliosSchedule = io.Custom("HELIOS_SCHEDULE")
HeliosMemory = io.Custom("HELIOS_MEMORY")

CATEGORY = "Helios"
# Hides a widget behind "advanced" on hosts that know how; a schema argument of that name would break the older ones.
ADVANCED = {"advanced": True}
