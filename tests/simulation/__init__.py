"""The simulation: the whole controller in a world where anything may go wrong at every call. What its words mean:

- world: an API server, an AWS account, some controller processes and one clock, all in memory and in one thread.
- effect: one call of a process to Kubernetes or AWS, or one event of its watch; nothing else leaves a process.
- point: a moment at which something may happen: before an effect, after it, or when the clock is about to move.
- place: a point as the script is told of it: its number, its side of the effect, the process and the call.
- script: what decides at each point what happens there; the same script makes the same world again.
- deed: what happens at a point, of whatever kind; the next four are its kinds.
- fault: a deed by which a call fails, or its answer is lost, late or broken.
- fate: a deed that strikes the process and not its call: it is killed there, or its cache hears nothing for long.
- sleep: a deed by which the process, or one of its workers, stands still there while time passes for the others.
- other: a deed of somebody else: a user, an outsider, another process, the clock, the API server.
- cell: a call together with a fault, fate or sleep that can meet it; one that was never met is a blind spot.
- manners: the ways of the real EKS that a stand-in keeps, such as how long a create takes and what it refuses.
- look: one pass in work: the object that it is about, and what it has been shown since it began.
- promise: what the checker holds at every effect and the oracle at the end; a violation is one that was broken.
- excuse: a named exception to a promise, which the architecture allows; how often one was needed is counted.
- story: a flow written by hand; a case is a story with one deed at one of its points.
- luck: the script of a random world, drawn from its seed.
- calm: from here on nothing goes wrong any more, and within some hours all has to be as it should be.
- unit: some cases, seeds or specs that one process lives one after the other.
"""
