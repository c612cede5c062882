use super::*;

fn check(interruptions: usize, expected: Result<(), Errno>) {
    let mut reads = 0;
    let read = || {
        reads += 1;
        if reads <= interruptions { Err(INTERRUPTED) } else { Ok(()) }
    };
    assert_eq!(read_consistently(read), expected, "{interruptions} interruptions");
}

#[test]
fn interrupted_read_is_repeated_up_to_a_limit() {
    check(0, Ok(()));
    check(READ_ATTEMPTS - 1, Ok(()));
    check(READ_ATTEMPTS, Err(INTERRUPTED));
    assert_eq!(read_consistently(|| Err::<(), _>(Errno::PERM)), Err(Errno::PERM));
}

#[test]
fn final_messages_carry_negative_errnos() {
    assert_eq!(outcome(&(-1i32).to_ne_bytes()), Err(Errno::PERM));
    assert_eq!(outcome(&0i32.to_ne_bytes()), Ok(()));
    assert_eq!(outcome(&[]), Ok(()));
}
