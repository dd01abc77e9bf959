"""A Streamlit app of one line; its WebSocket compares `Origin` with `Host`."""

import streamlit

streamlit.write("hello")
