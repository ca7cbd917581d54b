use alivio_accounts::{Accounts, Email, Error, Identity, NewProfessional, NewUser, Password, Profiles};
use alivio_kernel::ids::UserId;
use alivio_kernel::{Language, Role};

/// The password of everyone in the demo clinic.
pub const PASSWORD: &str = "Alivio-demo-1";

struct Person {
    email: &'static str,
    full_name: &'static str,
    display_name: &'static str,
    role: Role,
    professional_title: Option<&'static str>,
    specialty: Option<&'static str>,
    institution: Option<&'static str>,
}

const CLINIC: &str = "Clínica Alivio";

const PEOPLE: [Person; 7] = [
    Person {
        email: "maria.martinez@clinic.example",
        full_name: "María Martínez García",
        display_name: "Dra. María Martínez",
        role: Role::Doctor,
        professional_title: Some("Cardiologist"),
        specialty: Some("Cardiología"),
        institution: Some(CLINIC),
    },
    Person {
        email: "ana.lopez@clinic.example",
        full_name: "Ana López García",
        display_name: "Ana López",
        role: Role::Patient,
        professional_title: None,
        specialty: None,
        institution: None,
    },
    Person {
        email: "carlos.ruiz@clinic.example",
        full_name: "Carlos Ruiz Ortega",
        display_name: "Dr. Carlos Ruiz",
        role: Role::Doctor,
        professional_title: Some("General Practitioner"),
        specialty: Some("Medicina general"),
        institution: Some(CLINIC),
    },
    Person {
        email: "luis.soto@clinic.example",
        full_name: "Luis Soto Pérez",
        display_name: "Luis Soto",
        role: Role::Patient,
        professional_title: None,
        specialty: None,
        institution: None,
    },
    Person {
        email: "admin@clinic.example",
        full_name: "Elena Vidal Romero",
        display_name: "Elena Vidal",
        role: Role::MedicalAdmin,
        professional_title: Some("Medical Director"),
        specialty: None,
        institution: Some(CLINIC),
    },
    Person {
        email: "it@clinic.example",
        full_name: "Tomás Gil Navarro",
        display_name: "Tomás Gil",
        role: Role::ItAdmin,
        professional_title: None,
        specialty: None,
        institution: None,
    },
    Person {
        email: "aisha.rehman@clinic.example",
        full_name: "Aisha Rehman",
        display_name: "Aisha Rehman",
        role: Role::Student,
        professional_title: Some("MBBS Student"),
        specialty: None,
        institution: Some("Rehman Medical College"),
    },
];

/// Who is in the demo clinic, for the lines that start-up prints.
#[derive(Debug, Clone)]
pub struct DemoClinic {
    /// Address and role of everyone.
    pub people: Vec<(&'static str, Role)>,
    /// A doctor.
    pub maria: UserId,
    /// The patient she attends.
    pub ana: UserId,
}

/// Makes the demo clinic; whoever is there already stays as they are.
///
/// # Errors
/// The accounts'.
pub async fn demo_clinic(accounts: &Accounts, profiles: &Profiles) -> Result<DemoClinic, Error> {
    let (mut ids, mut new) = (Vec::with_capacity(PEOPLE.len()), Vec::new());
    for person in &PEOPLE {
        let email = Email::parse(person.email)?;
        let found = accounts.find(&email).await?;
        let id = match found {
            Some(id) => id,
            None => {
                let id = accounts.create(new_user(person, email)?).await?;
                new.push((id, person));
                id
            }
        };
        ids.push(id);
    }
    let (maria, ana, admin, it) = (ids[0], ids[1], ids[4], ids[5]);
    for (id, person) in new {
        if let Some(institution) = person.institution {
            let entry = NewProfessional {
                specialty: person.specialty.map(str::to_owned),
                institution: Some(institution.to_owned()),
                license_number: None,
                // Colleagues find each other. Nobody vouches for themselves.
                verified_by: Some(if id == admin { it } else { admin }),
            };
            profiles.publish(id, entry).await?;
        }
    }
    accounts.relate(ana, maria).await?;
    Ok(DemoClinic { people: PEOPLE.iter().map(|p| (p.email, p.role)).collect(), maria, ana })
}

fn new_user(person: &Person, email: Email) -> Result<NewUser, Error> {
    Ok(NewUser {
        identity: Identity {
            email,
            full_name: person.full_name.to_owned(),
            display_name: person.display_name.to_owned(),
        },
        role: person.role,
        professional_title: person.professional_title.map(str::to_owned),
        language: Language::Spanish,
        password: Password::parse(PASSWORD.to_owned())?,
    })
}
