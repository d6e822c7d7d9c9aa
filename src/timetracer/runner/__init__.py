"""The replay runner: sends each recorded request again, and compares what comes of it with what was recorded.

plan        which cassettes are sent
questions   a recorded request, as it is sent again
wsgi asgi remote    who answers it: an application in this process, or a server
judging     compares the answer (`answers`) and the calls (`calls`), and makes a `Finding` of it
pool worker     processes with an application in each
junit html      reports
"""
