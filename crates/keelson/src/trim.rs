//! Gives back what only the start needed: pages of this program's code and constants that a running server seldom or
//! never touches again. They stay in the page cache, and one that is needed is mapped again by a minor fault.

use std::time::Duration;

/// The controllers' first round is over by then.
const AFTER: Duration = Duration::from_secs(5);

pub async fn after_start() {
    tokio::time::sleep(AFTER).await;
    let (Ok(maps), Ok(exe)) = (std::fs::read_to_string("/proc/self/maps"), std::env::current_exe()) else {
        return;
    };
    for (from, to) in ranges(&maps, &exe.to_string_lossy()) {
        // SAFETY: these are clean pages of a read-only mapping of our own file: dropping them loses nothing, whoever
        // touches them gets the same content from the file.
        #[allow(unsafe_code, reason = "madvise; see SAFETY")]
        let done = unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_DONTNEED) };
        if done != 0 {
            tracing::debug!("giving back pages of the program: {}", std::io::Error::last_os_error());
        }
    }
}

/// The program's code, and its constants in the segment before the code (the ones after it were relocated, so they are
/// not what the file says).
fn ranges(maps: &str, exe: &str) -> Vec<(usize, usize)> {
    let one = |l: &str| {
        let mut f = l.split_whitespace();
        let (range, mode, offset) = (f.next()?, f.next()?, f.next()?);
        let clean = mode == "r-xp" || mode == "r--p" && usize::from_str_radix(offset, 16).ok()? == 0;
        if !clean || !l.ends_with(exe) {
            return None;
        }
        let (a, b) = range.split_once('-')?;
        Some((usize::from_str_radix(a, 16).ok()?, usize::from_str_radix(b, 16).ok()?))
    };
    maps.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_the_file_says_is_given_back() {
        let maps = "1000-2000 r--p 00000000 fe:00 7 /bin/keelson\n2000-5000 r-xp 00001000 fe:00 7 /bin/keelson\n\
                    5000-6000 r--p 00004000 fe:00 7 /bin/keelson\n6000-7000 rw-p 00005000 fe:00 7 /bin/keelson\n\
                    8000-9000 r-xp 00000000 fe:00 8 /lib/libc.so.6\n9000-a000 rw-p 00000000 00:00 0\n";
        assert_eq!(super::ranges(maps, "/bin/keelson"), [(0x1000, 0x2000), (0x2000, 0x5000)]);
    }
}
