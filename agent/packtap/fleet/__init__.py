"""Who may deliver, floor 4: an own authority, certificates for devices, revocation.

The server's side (`folder`) needs the package cryptography; what a device does (`enrolment`) needs
only the standard library, and is imported alone.
"""
