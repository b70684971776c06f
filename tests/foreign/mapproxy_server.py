"""MapProxy behind Python's own server, with as many threads as there are requests.

Usage: mapproxy_server.py CONFIGURATION PORT
"""
import socketserver, sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from mapproxy.wsgiapp import make_wsgi_app


class Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", int(sys.argv[2]), make_wsgi_app(sys.argv[1]), Threads, Quiet).serve_forever()
