//! Why the kernel would not give us a user namespace: reads the settings that can forbid it and says which one did.
//!
//! The holder tries for real; only when a step of it fails is this asked. The known causes, in the order they are looked at:
//! Debian's old `kernel.unprivileged_userns_clone`, the count `user.max_user_namespaces`, Ubuntu's AppArmor restriction (which
//! lets the namespace be made and then denies every capability in it), and a seccomp filter or LSM around us.

use std::path::Path;

use crate::error::SetupError;

/// A step in the making of the namespace that the kernel can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Step {
    /// unshare(CLONE_NEWUSER).
    UserNamespace,
    /// Writing the single-id map.
    Map,
    /// unshare(CLONE_NEWNS).
    MountNamespace,
    /// Changing the propagation of the mounts.
    Mount,
}

impl Step {
    fn call(self) -> &'static str {
        match self {
            Step::UserNamespace => "unshare(CLONE_NEWUSER)",
            Step::Map => "write to /proc/self/uid_map",
            Step::MountNamespace => "unshare(CLONE_NEWNS)",
            Step::Mount => "mount(/, MS_REC|MS_SLAVE)",
        }
    }
}

/// Settings of the kernel that matter here; none: the file does not exist.
#[derive(Debug, Clone, Default)]
pub struct Sysctls {
    /// kernel.unprivileged_userns_clone (Debian's patch).
    pub userns_clone: Option<u64>,
    /// user.max_user_namespaces.
    pub max_user_namespaces: Option<u64>,
    /// kernel.apparmor_restrict_unprivileged_userns (Ubuntu 23.10 and later).
    pub apparmor_restrict: Option<u64>,
}

impl Sysctls {
    /// Reads them below `proc_sys` (/proc/sys).
    pub fn read(proc_sys: &Path) -> Sysctls {
        let number = |name: &str| -> Option<u64> {
            std::fs::read_to_string(proc_sys.join(name)).ok()?.trim().parse().ok()
        };
        Sysctls {
            userns_clone: number("kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("user/max_user_namespaces"),
            apparmor_restrict: number("kernel/apparmor_restrict_unprivileged_userns"),
        }
    }
}

/// Words the refusal of `step` with `errno`.
pub fn explain(step: Step, errno: i32, sysctls: &Sysctls, program: &Path) -> SetupError {
    let error = std::io::Error::from_raw_os_error(errno);
    let tried = format!("{}: {error}", step.call());
    if sysctls.userns_clone == Some(0) {
        return SetupError::new(
            "User namespaces are forbidden to unprivileged users (fork/exec: operation not permitted)",
            format!("kernel.unprivileged_userns_clone = 0 ({tried})"),
            sysctl_commands("50-rootless.conf", "kernel.unprivileged_userns_clone = 1"),
        );
    }
    if sysctls.max_user_namespaces == Some(0) || errno == libc_enospc() {
        let value = sysctls.max_user_namespaces.unwrap_or(0);
        return SetupError::new(
            "No further user namespace is allowed (no space left on device)",
            format!("user.max_user_namespaces = {value} ({tried})"),
            sysctl_commands("51-rootless.conf", "user.max_user_namespaces = 28633"),
        );
    }
    if sysctls.apparmor_restrict == Some(1) {
        return SetupError::new(
            "This error might have happened because /proc/sys/kernel/apparmor_restrict_unprivileged_userns is set to 1: \
             AppArmor denies capabilities in user namespaces of programs without a profile",
            format!("kernel.apparmor_restrict_unprivileged_userns = 1 ({tried})"),
            apparmor_commands(program),
        );
    }
    SetupError::new(
        "The kernel, a seccomp filter or a security module forbids what a rootless engine needs",
        format!("{tried}; no known setting of /proc/sys explains it"),
        "inside a container: run it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined; \
         otherwise look into the kernel log: sudo dmesg | tail",
    )
}

fn libc_enospc() -> i32 {
    rustix::io::Errno::NOSPC.raw_os_error()
}

fn sysctl_commands(file: &str, line: &str) -> String {
    format!("echo '{line}' | sudo tee /etc/sysctl.d/{file}\nsudo sysctl --system")
}

fn apparmor_commands(program: &Path) -> String {
    let path = program.display().to_string();
    let name = path.trim_start_matches('/').replace('/', ".");
    format!(
        "Hint: try running the following commands:\n\
         cat <<EOT | sudo tee \"/etc/apparmor.d/{name}\"\n\
         # ref: https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         \n\
         {path} flags=(unconfined) {{\n\
         \x20 userns,\n\
         \n\
         \x20 include if exists <local/{name}>\n\
         }}\n\
         EOT\n\
         sudo systemctl restart apparmor.service"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(step: Step, errno: i32, sysctls: Sysctls) -> String {
        explain(step, errno, &sysctls, Path::new("/usr/bin/bryo")).to_string()
    }

    #[test]
    fn each_setting_is_named_with_its_value_and_its_command() {
        let clone = Sysctls { userns_clone: Some(0), ..Sysctls::default() };
        let text = said(Step::UserNamespace, 1, clone);
        assert!(text.contains("kernel.unprivileged_userns_clone = 0"), "{text}");
        assert!(text.contains(
            "kernel.unprivileged_userns_clone = 1' | sudo tee /etc/sysctl.d/50-rootless.conf"
        ));

        let max = Sysctls { max_user_namespaces: Some(0), ..Sysctls::default() };
        assert!(said(Step::UserNamespace, 28, max).contains("user.max_user_namespaces = 28633"));

        let armor = Sysctls { apparmor_restrict: Some(1), ..Sysctls::default() };
        let text = said(Step::MountNamespace, 1, armor);
        assert!(text.contains("/etc/apparmor.d/usr.bin.bryo\""), "{text}");
        assert!(text.contains("/usr/bin/bryo flags=(unconfined) {"), "{text}");

        assert!(said(Step::Mount, 1, Sysctls::default()).contains("seccomp"));
    }
}
