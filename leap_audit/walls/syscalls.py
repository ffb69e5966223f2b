"""The system calls that a confined process may not make, by name and number.

The numbers never change once a kernel has them. `tests/walls` holds them against libseccomp's.
"""

from dataclasses import dataclass

__all__ = ["DENIED", "LATEST", "MISSING", "Condition", "Numbers", "conditions"]

Numbers = tuple[int | None, int | None]
"""Of x86-64 and of AArch64; None: the architecture has no such call."""

LATEST = 462
"""The highest number that is let through: what newer kernels add is not there for the process."""

DENIED: dict[str, Numbers] = {
    # the network, and what else speaks to other processes
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # programs and processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "unshare": (272, 97),
    "setns": (308, 268),
    "tkill": (200, 130),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    # the view of files, and what Landlock does not know of
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    # memory that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # wide doors into the kernel
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    "personality": (135, 92),
}
"""Refused with EPERM, so that a library that only tries goes on without."""

MISSING: dict[str, Numbers] = {"clone3": (435, 435), "openat2": (437, 437)}
"""Answered as if the kernel had no such call: their arguments lie where a filter cannot look, and
every C library then uses the older call."""


@dataclass(frozen=True)
class Condition:
    """A condition on one argument of a system call, under which the call is refused."""

    numbers: Numbers
    argument: int
    mask: int
    values: tuple[int, ...]
    refused_if: bool
    """Whether it is refused when the masked argument is one of the values, or when it is none."""


CLONE_THREAD = 0x10000
SHARED_ANONYMOUS = 0x21
"""MAP_SHARED and MAP_ANONYMOUS: memory that RLIMIT_DATA does not count."""
OPENED_HOW, TRUNCATED = 0o3, 0o1000
"""O_ACCMODE and O_TRUNC, which before Landlock's ABI 3 cuts off what may only be read."""
SET_DEATH_SIGNAL = 1


def conditions(process: int) -> dict[str, Condition]:
    """Return the calls that the process of this number may make in one way and not in another."""
    own = (0, process)
    return {
        "clone": Condition((56, 220), 0, CLONE_THREAD, (0,), True),  # threads, no processes
        "kill": Condition((62, 129), 0, 0xFFFFFFFF, (process,), False),
        "tgkill": Condition((234, 131), 0, 0xFFFFFFFF, (process,), False),
        "sched_setaffinity": Condition((203, 122), 0, 0xFFFFFFFF, own, False),
        "prlimit64": Condition((302, 261), 0, 0xFFFFFFFF, own, False),
        "prctl": Condition((157, 167), 0, 0xFFFFFFFF, (SET_DEATH_SIGNAL,), True),
        "mmap": Condition((9, 222), 3, SHARED_ANONYMOUS, (SHARED_ANONYMOUS,), True),
        "open": Condition((2, None), 1, OPENED_HOW | TRUNCATED, (TRUNCATED,), True),
        "openat": Condition((257, 56), 2, OPENED_HOW | TRUNCATED, (TRUNCATED,), True),
    }
