"""Virtual connections: what WebSocket APIs of API Gateway do, over a stream of events and POST.

    session    one connection, pure: numbers, window, acknowledgements, deadlines
    store      where sessions are kept (memory here; shared by instances: adapters/redis_connections.py)
    plan       what is to be called for which route       calls, handlers   how it is called
    flows      $connect, message, $disconnect             service           all of it together
    streams    who reads which connection here            management        the `@connections` API
    sigv4      whether a request is signed                files             an API defined in a file

api/virtual.py has the routes. docs/decisions/0007 says why it is built like this.
"""
