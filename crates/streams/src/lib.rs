//! SPDY/3.1 and WebSocket channel codecs of exec, attach and port-forward.
