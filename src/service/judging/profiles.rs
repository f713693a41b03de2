//! Profiles as events change them. What a profile says comes beside its event and goes into a row; no replay looks at any of it.

use std::sync::Arc;

use crate::domain::{Context, VisitorToken};
use crate::engine::event::{Event, ProfileJoined};
use crate::engine::ledger::Position;
use crate::service::judging::Fresh;
use crate::store::StoreError;
use crate::store::record::profile::{EncodedProfile, decode_profile, encode_profile, profile_of, profile_value};

impl Fresh<'_> {
    /// Does what an event says to profiles, and fills in what that came to. Whom it is about must be filled in already.
    pub(crate) fn change_profiles(
        &mut self,
        event: &mut Event,
        position: Position,
        profile: Option<&EncodedProfile>,
    ) -> Result<(), StoreError> {
        if let (Event::ProfileSaved(saved), Some(profile)) = (&*event, profile) {
            self.profiles.insert(saved.visitor, Some(profile_value(position, profile)));
        }
        if let Event::Aliased(aliased) = event {
            let profile = self.join(aliased.anonymous, aliased.visitor, position)?;
            Arc::make_mut(aliased).profile = profile;
        }
        if let Event::VisitorErased(erased) = event {
            let mut gone = Vec::new();
            for visitor in &erased.visitors {
                gone.extend(self.profile(*visitor)?.map(|_| *visitor));
            }
            Arc::make_mut(erased).profiles = gone.len();
            self.profiles.extend(gone.into_iter().map(|visitor| (visitor, None)));
        }
        Ok(())
    }

    /// Moves an anonymous id's profile under that of the visitor it turned out to be, whose own attributes win.
    fn join(
        &mut self,
        anonymous: VisitorToken,
        visitor: VisitorToken,
        position: Position,
    ) -> Result<ProfileJoined, StoreError> {
        let Some(before) = self.profile(anonymous)? else { return Ok(ProfileJoined::default()) };
        let before = decode_profile(&before)?.attributes;
        let own = self.profile(visitor)?.map(|value| decode_profile(&value)).transpose()?;
        let mut merged = own.map_or_else(Context::new, |own| own.attributes);
        let mut joined = ProfileJoined::default();
        for (name, value) in before.iter() {
            if merged.get(name).is_some() {
                continue;
            }
            let mut larger = merged.clone();
            if larger.insert(name.to_owned().into(), value.kept()) && encode_profile(&larger).is_ok() {
                merged = larger;
                joined.adopted += 1;
            } else {
                joined.left_out += 1;
            }
        }
        let merged = encode_profile(&merged).expect("what did not fit was left out");
        self.profiles.insert(visitor, Some(profile_value(position, &merged)));
        self.profiles.insert(anonymous, None);
        Ok(joined)
    }

    /// The value of a visitor's row.
    fn profile(&self, visitor: VisitorToken) -> Result<Option<Vec<u8>>, StoreError> {
        match self.profiles.get(&visitor) {
            Some(changed) => Ok(changed.clone()),
            None => profile_of(self.store, visitor),
        }
    }
}
