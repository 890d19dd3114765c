//! The host's users, through libc (so that LDAP and the like are asked too where libc is dynamic).

use std::ffi::{CStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// An entry of the user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Home folder.
    pub home: PathBuf,
}

/// The entry of `uid`; none if there is none.
pub fn by_uid(uid: u32) -> io::Result<Option<User>> {
    let mut buffer = vec![0u8; 16 * 1024];
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    // SAFETY: all pointers are to live objects of the sizes given; `found` is set to `entry` or null.
    let r = unsafe {
        libc::getpwuid_r(
            uid,
            entry.as_mut_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &mut found,
        )
    };
    if r != 0 {
        return Err(io::Error::from_raw_os_error(r));
    }
    if found.is_null() {
        return Ok(None);
    }
    // SAFETY: a non-null `found` says that getpwuid_r filled `entry`.
    let entry = unsafe { entry.assume_init() };
    Ok(Some(User {
        name: text(entry.pw_name).to_string_lossy().into_owned(),
        home: PathBuf::from(text(entry.pw_dir)),
    }))
}

fn text(pointer: *const libc::c_char) -> OsString {
    if pointer.is_null() {
        return OsString::new();
    }
    // SAFETY: libc's entry points to terminated strings in `buffer`, which lives in the caller.
    OsString::from_vec(unsafe { CStr::from_ptr(pointer) }.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    #[test]
    fn root_is_known() {
        let root = super::by_uid(0).unwrap().unwrap();
        assert_eq!(root.name, "root");
    }
}
