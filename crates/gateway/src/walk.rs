//! What gathers while a call walks through the plugins of its route.

use crate::entity::{Consumer, ConsumerIndex};
use crate::judge::Limit;
use crate::{Compatibility, Gateway, Selected};
use bytes::Bytes;
use ringwall_model::{Call, Caller, Edit, FieldEdit, Fields, Take};
use ringwall_token::Known;

/// The state of one walk: what is given, and what the plugins have added so far.
#[derive(Debug)]
pub struct Walk<'a> {
    /// The gateway.
    pub gateway: &'a Gateway,
    /// The route.
    pub selected: &'a Selected,
    /// The call as it came to the gateway.
    pub call: &'a Call,
    /// What is known of the outside.
    pub known: &'a Known<'a>,
    /// 128 random bits for this call.
    pub random: u128,
    /// Who is calling, as far as a plugin verified it.
    pub caller: Caller,
    /// The consumer whose plugins run; also the anonymous one, which is nobody's identity.
    pub consumer: Option<ConsumerIndex>,
    /// Groups beside the consumer's own (`oidc` with `groups_claim`).
    pub groups: Vec<Box<str>>,
    /// Changes to the request, in order.
    pub edits: Vec<Edit>,
    /// Changes to the response, in order.
    pub response: Vec<FieldEdit>,
    /// Budgets to take from.
    pub takes: Vec<Take>,
    /// Which takes belong to which plugin.
    pub limits: Vec<Limit>,
    /// The longest body the call may have.
    pub body_limit: Option<u64>,
    /// The path that goes upstream.
    pub path: Bytes,
}

impl Walk<'_> {
    /// How closely Kong is followed.
    pub const fn compatibility(&self) -> Compatibility {
        self.gateway.settings.compatibility
    }

    /// The consumer whose plugins run.
    pub fn consumer(&self) -> Option<&Consumer> {
        self.gateway.consumers.get(self.consumer?.0 as usize)
    }

    /// Changes a field of the request.
    pub fn edit(&mut self, edit: FieldEdit) {
        self.edits.push(Edit::Field(edit));
    }

    /// Makes `value` the only field of that name, and of every name an application may take for it.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        self.take_out(name);
        self.edit(FieldEdit::Set(name.to_owned().into(), value.into()));
    }

    /// Takes a field out: in [`Compatibility::Safe`] every spelling that differs by `_` and `-`.
    pub fn take_out(&mut self, name: &str) {
        let name = Bytes::from(name.to_owned());
        self.edit(match self.compatibility() {
            Compatibility::Safe => FieldEdit::RemoveFolded(name),
            Compatibility::Kong => FieldEdit::Remove(name),
        });
    }

    /// The fields as the edits so far make them.
    pub fn fields(&self) -> Fields {
        let mut fields = self.call.fields.clone();
        for edit in &self.edits {
            if let Edit::Field(edit) = edit {
                edit.apply(&mut fields);
            }
        }
        fields
    }

    /// Whether some plugin has authenticated the caller already.
    pub fn is_authenticated(&self) -> bool {
        self.caller.credential.is_some() || self.caller.is_authenticated()
    }

    /// Makes a consumer the caller, with the fields that tell the service so.
    pub fn authenticate(&mut self, index: ConsumerIndex, credential: &str) {
        let Some(consumer) = self.gateway.consumers.get(index.0 as usize) else { return };
        self.consumer = Some(index);
        self.tell(consumer);
        self.set("X-Credential-Identifier", credential.to_owned());
        self.take_out("X-Anonymous-Consumer");
        self.caller.consumer = Some(consumer.name().into());
        self.caller.credential = Some(credential.into());
        if self.caller.user.is_none() {
            self.caller.user = consumer.username.clone();
        }
    }

    /// Lets the call go on as the anonymous consumer: its plugins run, and nothing is verified.
    pub fn stay_anonymous(&mut self, index: ConsumerIndex) {
        let Some(consumer) = self.gateway.consumers.get(index.0 as usize) else { return };
        self.consumer = Some(index);
        self.tell(consumer);
        self.take_out("X-Credential-Identifier");
        self.set("X-Anonymous-Consumer", "true");
    }

    fn tell(&mut self, consumer: &Consumer) {
        let names = [
            ("X-Consumer-ID", Some(&consumer.id)),
            ("X-Consumer-Custom-ID", consumer.custom_id.as_ref()),
            ("X-Consumer-Username", consumer.username.as_ref()),
        ];
        for (name, value) in names {
            match value {
                Some(value) => self.set(name, value.as_bytes().to_vec()),
                None => self.take_out(name),
            }
        }
    }
}
