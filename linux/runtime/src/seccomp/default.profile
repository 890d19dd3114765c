# Docker's default seccomp profile: which syscalls a container may use.
#
# A line that starts in the first column opens a section: what happens, then its conditions, all of which must hold.
# The indented lines that follow name the section's syscalls. What no section names is refused with EPERM.
#
#   allow | errno=N        the action
#   cap=NAME  nocap=NAME   the container has (has not) this capability
#   arch=A,B               on one of these architectures (Go's names)
#   kernel=M.N             on this kernel or a newer one
#   argI<N  argI=N|N|…     argument I of the syscall is less than N, is one of these numbers
#   argI&M=0               argument I has none of the bits M
#
# Kept the same as the profile of github.com/moby/profiles; a missing name is a bug report, an additional one a decision.

# Files and descriptors.
allow
  access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
  fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64
  fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
  ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek
  lremovexattr lseek lsetxattr lstat lstat64 memfd_create memfd_secret mkdir mkdirat mknod mknodat name_to_handle_at
  newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
  readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat
  splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs tee truncate
  truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev

# Waiting and asynchronous input and output.
allow
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
  io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pause poll ppoll
  ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4

# Memory.
allow
  brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync munlock
  munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages

# Processes, threads, users.
allow
  capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32
  getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
  getrlimit get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set
  landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open prctl prlimit64 rseq sched_getaffinity
  sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
  sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
  setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32
  setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid set_thread_area
  set_tid_address setuid setuid32 sysinfo times ugetrlimit uname vfork wait4 waitid waitpid

# Signals.
allow
  kill pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
  rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn tgkill tkill

# Time and chance.
allow
  adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
  clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer time timer_create
  timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
  timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64

# Talking to each other.
allow
  accept accept4 bind connect futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getpeername getsockname
  getsockopt ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
  mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget
  semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
  socketcall socketpair

# Of one architecture only; named here because the profile does.
allow
  riscv_hwprobe uretprobe

# Since Linux 4.8 ptrace no longer gets around seccomp.
allow kernel=4.8
  process_vm_readv process_vm_writev ptrace

# Address families: all but those with a history of holes and no use in containers
# (AX.25, X.25, NET/ROM, ROSE, AF_ALG, VSOCK …).
allow arg0<12
  socket
allow arg0=13|14|15|16|17|18|21|22|24|26|27|28|29|30|31|32|33|35|36|39|41|42|43|44|45
  socket

# PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is.
allow arg0=0|8|131072|131080|4294967295
  personality

allow arch=arm,arm64
  arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls
allow arch=amd64,x32
  arch_prctl
allow arch=amd64,x32,x86
  modify_ldt

# New processes, but no new namespaces: none of the CLONE_NEW… bits.
allow nocap=CAP_SYS_ADMIN arg0&2114060288=0
  clone
# clone3 has its flags in memory, where a filter cannot look; libc falls back to clone.
errno=38 nocap=CAP_SYS_ADMIN
  clone3

allow cap=CAP_SYS_ADMIN
  bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
  lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
  sethostname setns syslog umount umount2 unshare
allow cap=CAP_DAC_READ_SEARCH
  open_by_handle_at
allow cap=CAP_SYS_BOOT
  reboot
allow cap=CAP_SYS_CHROOT
  chroot
allow cap=CAP_SYS_MODULE
  delete_module init_module finit_module
allow cap=CAP_SYS_PACCT
  acct
allow cap=CAP_SYS_PTRACE
  kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace
allow cap=CAP_SYS_RAWIO
  iopl ioperm
allow cap=CAP_SYS_TIME
  settimeofday stime clock_settime clock_settime64
allow cap=CAP_SYS_TTY_CONFIG
  vhangup
allow cap=CAP_SYS_NICE
  get_mempolicy mbind set_mempolicy set_mempolicy_home_node
allow cap=CAP_SYSLOG
  syslog
allow cap=CAP_BPF
  bpf
allow cap=CAP_PERFMON
  perf_event_open
