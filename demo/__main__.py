"""`python -m demo`: the app on a laptop's whole cloud, played through in eight stories."""

import signal

if __name__ == "__main__":
    # Until there is something to clean up, Ctrl-C ends this process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import typer

    from demo.show import main

    typer.run(main)
