"""Whether this machine can grade safely, said before anything is imported that needs Linux."""

import platform


def fault(unsafe_local: bool) -> str:
    """Why grading cannot begin here, with the mend; nothing where it can."""
    if unsafe_local:
        return ""
    if told := elsewhere():
        return (
            f"{told}; or with --unsafe-local, which runs the learners' code as you: it can "
            "read and change what you can, and give itself points"
        )
    from trlkit.course.teacher import sandbox

    try:
        sandbox.probe()
    except sandbox.NoSandbox as error:
        return f"{error}\nOr say --unsafe-local, which runs the learners' code as you"
    return ""


def elsewhere() -> str:
    """That this is no Linux, and the mend; nothing where it is."""
    if platform.system() == "Linux":
        return ""
    return (
        "grading runs learners' code in a sandbox, which needs Linux with bubblewrap; this is "
        f"{platform.system()}. Grade in a Linux machine, a virtual machine or WSL"
    )
