"""What tests share: worlds (a gateway, its provider, its upstreams), browsers, stores, and bytes to send.

A test imports from here; nothing here imports a test.
"""
